"""The suites that come with optsuite."""

from optsuite.suites._suite import Suite

_OPPONENTS = (
    "AdamLR",
    "AdamWLR",
    "NAdamWLR",
    "SGDLR",
    "SGDMLR",
    "RMSPropLR",
    "LionLR",
    "MuonLR",
    "AdamWLR_cosine",
)

_QUICK = (
    "ImageMLP_FashionMnist8_Relu32",
    "ImageMLP_FashionMnist16_Relu32",
    "ImageMLP_FashionMnist32_Relu32",
)

_SMALL = (
    *_QUICK,
    "ImageMLP_FashionMnist_Relu128x128",
    "ImageMLPAE_FashionMnist_128x32x128_bs128",
    "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32",
)

_VISION = (
    "ImageMLP_Cifar10_128x128x128_Relu",
    "ImageMLPAE_Cifar10_256x256x256_bs128",
    "Conv_Cifar10_32x64x64",
    "Conv_Cifar100_32x64x64",
    "Resnet_MultiRuntime_0",
    "Resnet_MultiRuntime_4",
    "VIT_Cifar100_skinnydeep",
    "MLPMixer_Cifar100_tiny16",
)

_LANGUAGE = (
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64",
    "RNNLM_lm1bbytes_Patch32_LSTM256_Embed128",
    "RNNLM_lm1b32k_Patch32_LSTM256_Embed128",
    "RNNLM_wikipediaenbytes_Patch32_GRU256_Embed128",
    "TransformerLM_LM1B_MultiRuntime_0",
    "TransformerLM_LM1B_5layer_32width",
    "TransformerLM_LM1B_5layer_128width",
)

# The tasks of both normalizers of learned_optimization that this package has, which are all but seven of its
# fixed tasks. Source: learned_optimization, `baselines/data/speedup_over_multiple_baselines.json`.
_PUBLISHED = """
Conv_Cifar100_32x64x64 Conv_Cifar100_32x64x64_Tanh Conv_Cifar10_16_32x64x64 Conv_Cifar10_32x64x64
Conv_Cifar10_32x64x64_Tanh Conv_Cifar10_32x64x64_batchnorm Conv_Cifar10_32x64x64_layernorm
Conv_imagenet16_16_64x128x128x128 Conv_imagenet32_16_32x64x64 ESWrapped_1pair_ImageMLP_Cifar10BW8_Relu32
ESWrapped_1pair_ImageMLP_Cifar10_128x128x128_Relu ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32
ESWrapped_1pair_ImageMLP_Mnist_128x128x128_Relu ESWrapped_8pair_ImageMLP_Cifar10_128x128x128_Relu
ESWrapped_8pair_ImageMLP_Mnist_128x128x128_Relu ImageMLPAE_Cifar10_128x32x128_bs256
ImageMLPAE_Cifar10_256x256x256_bs1024 ImageMLPAE_Cifar10_256x256x256_bs128
ImageMLPAE_Cifar10_32x32x32_bs128 ImageMLPAE_FashionMnist_128x32x128_bs128
ImageMLPAE_Mnist_128x32x128_bs128 ImageMLP_Cifar100_128x128x128_Relu ImageMLP_Cifar10_1024x1024_Relu
ImageMLP_Cifar10_128x128_Dropout02_Relu_MSE ImageMLP_Cifar10_128x128_Dropout05_Relu_MSE
ImageMLP_Cifar10_128x128_Dropout08_Relu_MSE ImageMLP_Cifar10_128x128x128_BatchNorm_Relu
ImageMLP_Cifar10_128x128x128_BatchNorm_Tanh ImageMLP_Cifar10_128x128x128_LayerNorm_Relu
ImageMLP_Cifar10_128x128x128_LayerNorm_Tanh ImageMLP_Cifar10_128x128x128_Relu
ImageMLP_Cifar10_128x128x128_Relu_MSE ImageMLP_Cifar10_128x128x128_Tanh_bs128
ImageMLP_Cifar10_128x128x128_Tanh_bs256 ImageMLP_Cifar10_128x128x128_Tanh_bs64
ImageMLP_Cifar10_256x256_Relu ImageMLP_Cifar10_4096x4096_Relu ImageMLP_Cifar10_8192x8192_Relu
ImageMLP_Cifar10_8_Relu32 ImageMLP_FashionMnist8_Relu32 ImageMLP_FashionMnist_Relu128x128
ImageMLP_Imagenet16_Relu256x256x256 ImageMLP_Mnist_128x128x128_Relu
LOptPES_Adafac_Cifar_OuterBS16_Length200_Trunc10 LOptPES_Adafac_Cifar_OuterBS16_Length50_Trunc10
LOptPES_Adafac_Cifar_OuterBS4_Length50_Trunc10 LOptPES_Adafac_Cifar_OuterBS4_Length50_Trunc5
LOptPES_Adafac_Cifar_OuterBS8_Length50_Trunc5 LOptPES_Adafac_Fashion_OuterBS16_Length200_Trunc10
LOptPES_Adafac_Fashion_OuterBS16_Length50_Trunc10 LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc10
LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5 LOptPES_Adafac_Fashion_OuterBS8_Length50_Trunc5
LOpt_AdafacMLPLOpt_Cifar10_8_10 LOpt_AdafacMLPLOpt_FashionMnist_20 LOpt_AdafacMLPLOpt_FashionMnist_50
LOpt_ES4_AdafacMLPLOpt_FashionMnist_20 LOpt_ES4_LOpt_MLPLOpt_Cifar10_16_10
LOpt_ES4_LOpt_MLPLOpt_FahionMnist_50 LOpt_LearnableAdam_Cifar10_8_200 LOpt_LearnableAdam_Cifar10_8_50
LOpt_MLPLOpt_Cifar10_16_10 LOpt_MLPLOpt_Cifar10_8_50 LOpt_MLPLOpt_FahionMnist_10
LOpt_MLPLOpt_FahionMnist_100 LOpt_MLPLOpt_FahionMnist_50 MLPMixer_Cifar100_bs256_tiny16
MLPMixer_Cifar100_small16 MLPMixer_Cifar100_tiny16 MLPMixer_Food101_64_bs256_tiny16
MLPMixer_Food101_64_small16 MLPMixer_Food101_64_tiny16 MLPMixer_ImageNet64_bs256_tiny16
MLPMixer_ImageNet64_small16 MLPMixer_ImageNet64_tiny16 RNNLM_lm1b32k_Patch32_IRNN256_Embed128
RNNLM_lm1b32k_Patch32_LSTM256_Embed128 RNNLM_lm1b32k_Patch32_VanillaRNN256_Embed128
RNNLM_lm1bbytes_Patch128_LSTM128_Embed64 RNNLM_lm1bbytes_Patch32_GRU128_Embed64
RNNLM_lm1bbytes_Patch32_GRU256_Embed128 RNNLM_lm1bbytes_Patch32_IRNN128_Embed64
RNNLM_lm1bbytes_Patch32_LSTM128_Embed64 RNNLM_lm1bbytes_Patch32_LSTM256_Embed128
RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64 RNNLM_wikipediaen32k_Patch32_GRU256_Embed128
RNNLM_wikipediaen32k_Patch32_LSTM256_Embed128 RNNLM_wikipediaenbytes_Patch32_GRU256_Embed128
RNNLM_wikipediaenbytes_Patch32_LSTM256_Embed128 Resnet_MultiRuntime_0 Resnet_MultiRuntime_1
Resnet_MultiRuntime_10 Resnet_MultiRuntime_2 Resnet_MultiRuntime_3 Resnet_MultiRuntime_4
Resnet_MultiRuntime_5 Resnet_MultiRuntime_6 Resnet_MultiRuntime_7 Resnet_MultiRuntime_8
Resnet_MultiRuntime_9 TransformerLM_LM1B_5layer_128width TransformerLM_LM1B_5layer_256width
TransformerLM_LM1B_5layer_32width TransformerLM_LM1B_5layer_512width TransformerLM_LM1B_MultiRuntime_0
TransformerLM_LM1B_MultiRuntime_1 TransformerLM_LM1B_MultiRuntime_10 TransformerLM_LM1B_MultiRuntime_11
TransformerLM_LM1B_MultiRuntime_2 TransformerLM_LM1B_MultiRuntime_3 TransformerLM_LM1B_MultiRuntime_4
TransformerLM_LM1B_MultiRuntime_5 TransformerLM_LM1B_MultiRuntime_6 TransformerLM_LM1B_MultiRuntime_7
TransformerLM_LM1B_MultiRuntime_8 TransformerLM_LM1B_MultiRuntime_9 VIT_Cifar100_skinnydeep
VIT_Cifar100_wideshallow VIT_Food101_64_skinnydeep VIT_Food101_64_wideshallow VIT_ImageNet64_skinnydeep
VIT_ImageNet64_wideshallow
"""

SUITES = (
    Suite(
        name="cpu-quick",
        version=1,
        about="small networks on Fashion-MNIST: a first answer in minutes on two cores",
        tasks=_QUICK,
        families=_OPPONENTS,
        reference="AdamLR",
        num_steps=2000,
        num_seeds=5,
    ),
    Suite(
        name="cpu-small",
        version=1,
        about="classifiers, an autoencoder and evolution strategies on Fashion-MNIST: an hour on two cores",
        tasks=_SMALL,
        families=_OPPONENTS,
        reference="AdamLR",
        num_steps=2000,
        num_seeds=5,
    ),
    Suite(
        name="vision",
        version=1,
        about="MLPs, convolutions, a ViT and a mixer on CIFAR, residual networks: hours on a GPU",
        tasks=_VISION,
        families=_OPPONENTS,
        reference="AdamLR",
        num_steps=10_000,
        num_seeds=5,
    ),
    Suite(
        name="language",
        version=1,
        about="recurrent and transformer language models of bytes and of word pieces: hours on a GPU",
        tasks=_LANGUAGE,
        families=_OPPONENTS,
        reference="AdamLR",
        num_steps=10_000,
        num_seeds=5,
    ),
    Suite(
        name="published",
        version=1,
        about="all 122 tasks of the original's normalizers, at the length of its example sets: for a cluster",
        tasks=tuple(_PUBLISHED.split()),
        families=("AdamLR", "AdamWLR", "SGDLR", "SGDMLR", "RMSPropLR", "AdafactorLR", "LambLR", "RAdamLR"),
        reference="AdamLR",
        num_steps=10_000,
        num_seeds=5,
    ),
)
"""Rows, in the order of their cost."""
