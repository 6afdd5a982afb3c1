# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # First steps on your own pictures
#
# Build the pipeline of the synthetic data first: `python -m spacy project run all`, then install
# the wheel in `packages`. With a pipeline of your own, only its name changes.

# %%
from pathlib import Path

import spacy

from spacy_msvse import make_doc, render

nlp = spacy.load("en_msvse_synthetic")
pictures = Path("assets/synthetic/pictures")

# %% [markdown]
# ## One text, two pictures

# %%
docs = [
    make_doc(nlp, "What a day with Jordan", image=pictures / name)
    for name in ("test-0023.jpg", "test-0012.jpg")
]
for doc in nlp.pipe(docs):
    print([(entity.text, entity.label_, round(entity._.confidence, 2)) for entity in doc.ents])

# %% [markdown]
# ## What the pipeline saw
#
# Each view has a status, and the types that it suggests.

# %%
doc = docs[0]
print(doc._.image_tags, "|", doc._.image_caption)
print(doc._.image_status)
for view, types in doc._.visual_entities.items():
    print(view, max(types, key=types.get))

# %% [markdown]
# ## What the picture changed

# %%
component = nlp.get_pipe("msvse_ner")
for effect in component.explain_pictures(doc)[0]:
    print("with:   ", effect.with_picture)
    print("without:", effect.without_picture)

# %% [markdown]
# ## All of it as a page
#
# In a notebook, `render(docs)` shows it in place.

# %%
html = render(docs, page=True)
print(len(html), "characters of HTML")

# %% [markdown]
# ## Pictures that are missing or broken
#
# A post whose picture cannot be read is read as text, and says why.

# %%
component.on_missing_image = "ignore"
doc = nlp(make_doc(nlp, "What a day with Jordan", image=pictures / "not-there.jpg"))
print(doc._.image_status, doc._.image_problems)
print([(entity.text, entity.label_) for entity in doc.ents])
