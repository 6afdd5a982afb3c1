# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Compare methods
#
# All methods have the same interface, so a comparison changes one line of the config. This one
# takes a few minutes and is too short to rank methods. `python -m spacy msvse ablate --matrix
# methods` compares all of them, with several seeds and a test of the differences.

# %%
from itertools import islice

import spacy
from spacy.util import fix_random_seed, minibatch

from spacy_msvse import make_examples, read_posts

folder = "assets/synthetic"
pictures = f"{folder}/pictures"
METHODS = ("TextCrf", "MSVSE", "UMT")


# %%
def make_pipeline(method):
    nlp = spacy.blank("en")
    model = {"@architectures": f"spacy-msvse.{method}.v1", "precision": "auto"}
    component = nlp.add_pipe("msvse_ner", config={"model": model})
    component.image_root = pictures
    return nlp


def read_examples(nlp, name, count):
    rows = islice(read_posts(f"{folder}/{name}.jsonl"), count)
    return list(make_examples(nlp, rows, image_root=pictures))


# %%
results = {}
for method in METHODS:
    fix_random_seed(0)
    nlp = make_pipeline(method)
    train = read_examples(nlp, "train", 72)
    optimizer = nlp.initialize(lambda posts=train: posts)
    for _ in range(2):
        for batch in minibatch(train, 12):
            nlp.update(batch, sgd=optimizer)
    results[method] = nlp.evaluate(read_examples(nlp, "dev", 40))["ents_f"]
    print(method, results[method])

# %% [markdown]
# ## The same with one command
#
# ```bash
# python -m spacy msvse ablate configs/demo.cfg comparison --matrix methods --seeds 3
# ```
