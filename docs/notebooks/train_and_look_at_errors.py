# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Train a pipeline and show its errors
#
# This trains on 120 posts in about two minutes, so the errors are many. For real training use
# `spacy train`.

# %%
from itertools import islice

import spacy
from spacy.util import minibatch

from spacy_msvse import make_examples, read_posts
from spacy_msvse.evaluation.mistakes import find_mistakes
from spacy_msvse.evaluation.scores import annotate_examples, score_examples

folder = "assets/synthetic"
pictures = f"{folder}/pictures"

# %% [markdown]
# ## Posts
#
# `read_posts` reads any format, and a DataFrame. `make_examples` makes examples of the rows.


# %%
def read_examples(nlp, name, count):
    rows = islice(read_posts(f"{folder}/{name}.jsonl"), count)
    return list(make_examples(nlp, rows, image_root=pictures))


nlp = spacy.blank("en")
component = nlp.add_pipe("msvse_ner", config={"model": {"precision": "auto"}})
component.image_root = pictures
train = read_examples(nlp, "train", 120)
dev = read_examples(nlp, "dev", 40)
print(len(train), "training posts,", len(dev), "development posts")

# %% [markdown]
# ## Train

# %%
optimizer = nlp.initialize(lambda: train)
for epoch in range(3):
    losses = {}
    for batch in minibatch(train, 12):
        nlp.update(batch, sgd=optimizer, losses=losses)
    print(epoch, losses)

# %% [markdown]
# ## Scores

# %%
annotated = annotate_examples(nlp, dev)
scores = score_examples(nlp, annotated)
print({name: round(scores[name], 3) for name in ("ents_p", "ents_r", "ents_f")})

# %% [markdown]
# ## Errors, the most confident first
#
# `python -m spacy msvse evaluate --errors mistakes.html` writes a page of them.

# %%
for mistake in find_mistakes(annotated)[:10]:
    sides = {"gold": mistake.gold, "predicted": mistake.predicted}
    found = {side: f"{span.text} {span.label_}" for side, span in sides.items() if span}
    print(mistake.kind, found, "|", mistake.example.reference.text)
