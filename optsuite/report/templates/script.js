"use strict";

for (const element of document.querySelectorAll(".scripted")) element.hidden = false;

{% include "tables.js" %}

{% include "charts.js" %}

{% include "theme.js" %}
