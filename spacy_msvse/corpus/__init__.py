"""Files of posts to Docs with pictures, and such Docs to training examples."""
