"""Examples at the end of each command's help."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "tasks": ("", "'*Conv*' --operations"),
    "sets": ("'AdamLR_*'", "'Wide_*' --grid 'Wide=AdamW(lr=log(1e-4,1)/15)'"),
    "data": ("list", "fetch cifar10"),
    "data list": ("",),
    "data fetch": ("cifar10 fashion_mnist",),
    "data path": ("", "cifar10"),
    "verify": ("'my.py:Mine(lr=0.01)' --against Adam", "Adam+clip --against Adam --steps 1000"),
    "plan": ("'ImageMLP_*' AdamLR_2000_R5", "'*' 'SGDLR_*' --budget 2h"),
    "run": (
        "ImageMLP_FashionMnist8_Relu32 AdamLR_2000_R5",
        "'ImageMLP_*' Mine_2000_R5 --grid 'Mine=my.py:Mine(lr=log(1e-4,1)/15)' --budget 1h",
        "'*Conv*' 'AdamLR_*' --backend process --device cuda",
    ),
    "meta-train": (
        "LearnableAdam ImageMLP_FashionMnist8_Relu32 -o mine.safetensors",
        "AdafacMLPLOpt ImageMLP_FashionMnist8_Relu32 --steps 1000 --estimator unroll",
    ),
    "status": ("", "'ImageMLP_*' 'Adam*'"),
    "archive": ("'*' AdamLR_2000_R5", "ImageMLP_FashionMnist8_Relu32 'Adam*' --storage s3://bucket/runs"),
    "table": ("", "'ImageMLP_*' 'Adam*' -o results.csv", "'*' --kind archive -o points.parquet"),
    "plot": (
        "ImageMLP_FashionMnist8_Relu32 AdamLR_2000_R5 SGDLR_2000_R5 -o curves.svg",
        "ImageMLP_FashionMnist8_Relu32 'Adam*' --kind lr -o rates.png",
    ),
    "report": ("", "'ImageMLP_*' 'Adam*' -o page.html", "'ImageMLP_*' --of Mine --against Adam SGDM"),
    "normalizer": ("speedup_over_adam_2000_R5", "speedup_over_adam 'ImageMLP_*' --overwrite"),
    "suites": ("", "'cpu-*' --cost"),
    "upload": ("", "--storage s3://bucket/runs"),
    "compare": (
        "last/archives tonight/archives",
        "a/archives b/archives 'ImageMLP_*' 'Adam*' --json -o compared.json",
        "base head ImageMLP_FashionMnist8_Relu32 AdamLR_2000_R5 --train ../before . --rounds 20",
    ),
    "history": ("results/archives -o history.csv",),
    "verdict": (
        "--of Mine --against Adam SGDM",
        "'ImageMLP_*' --of MineLR_2000_R5 --against '*' --rule validation --by-task",
        "--of Mine --suite cpu-quick --json",
        "--of AdamW+cosine --against AdamW -o table.tex",
    ),
    "contest": (
        "my.py:Mine --suite cpu-quick",
        "my.py:Mine --suite cpu-small --budget 1h --opponents Muon --opponents 'Adam*'",
        "'my.py:Mine(lr=0.01)' --suite cpu-quick --untuned",
        "Mine --grid 'Mine=my.py:Mine(lr=log(1e-3,1)/7, momentum=0|0.9)' --suite cpu-quick --json",
    ),
}
"""Words after each command's name; a test parses all of them."""

_OUTCOMES = (
    "exit status: 0 better than the reference, 3 no difference, 4 worse, 5 undecided; 1 error, 2 bad usage"
)
_BEFORE = dict.fromkeys(("verdict", "contest"), (_OUTCOMES, ""))
"""Lines that stand before the examples."""


def epilog(command: str) -> str | None:
    """Return the end of a command's help; None where there are no examples."""
    lines = [f"  optsuite {command} {words}".rstrip() for words in EXAMPLES.get(command, ())]
    return "\n".join([*_BEFORE.get(command, ()), "examples:", *lines]) if lines else None
