"""Drydock's answers to its form: it chooses the image, the wheels and the versions.

The form (`copier.yml`) asks; this package answers. A module imports only from those above it:

| module | what it holds |
| --- | --- |
| `versions` | versions and dates, as values that compare |
| `rows` | what one row of the catalogue says: a GPU, a wheel, an image, ... |
| `kernels` | the code that a build holds for a GPU, and which GPUs run it |
| `catalogue` | all rows, read from `../catalogue/*.json`; which Python is tried first |
| `questions` | the questions of the form, and the values to choose from |
| `texts`, `names`, `answers` | is one answer acceptable by itself? |
| `request` | the answers that the solver reads; `None` means "any will do" |
| `rules/` | what goes together: `wheels`, `pythons`, `images`, `drivers`, `gpus`, `compilers` |
| `solver` | the first combination of rows that breaks no rule |
| `fixes`, `refusal` | the nearest answers that work; why answers conflict, in a sentence |
| `form` | defaults, choices and checks for each question |
| `preflight`, `changes` | do the answers of an earlier run still work, and may they change? |
| `stack/` | what the templates read: `keys` lists it, the others compute it |
| `prompt` | makes room for a refusal at a prompt |
| `jinja` | the thin layer that Copier's Jinja calls |

Everything but `prompt` and `jinja` is a pure function of a catalogue and a mapping of answers.
Nothing in here formats an image tag: the solver returns rows of the catalogue or nothing. There is
no network access, no subprocess and no write; the only files read are the catalogue and, for the
default of one question, the version of a loaded NVIDIA driver.
"""
