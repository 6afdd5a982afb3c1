"""Batches of posts of similar length."""

from collections.abc import Iterator, Sequence

from .encode import EncodedPost


def cut_batches(
    posts: Sequence[EncodedPost], max_tokens: int, *, in_order: bool = False
) -> Iterator[list[int]]:
    """Divide posts into batches of similar length, so that there is little padding.

    Args:
        posts (Sequence[EncodedPost]): The posts.
        max_tokens (int): Maximum number of word pieces of a batch, joint views and padding
            included. A post that has more is a batch of its own.
        in_order (bool): Keep the posts in their order, for a method that mixes posts.

    Yields:
        list: Indices of the posts of a batch, the longest first unless they are in order.
    """
    order = list(range(len(posts)))
    if not in_order:
        order.sort(key=lambda index: posts[index].length, reverse=True)
    batch: list[int] = []
    longest = rows = 0
    for index in order:
        longest_with = max(longest, posts[index].length)
        rows_with = rows + len(posts[index].windows)
        if batch and longest_with * rows_with > max_tokens:
            yield batch
            batch, longest_with, rows_with = [], posts[index].length, len(posts[index].windows)
        batch.append(index)
        longest, rows = longest_with, rows_with
    if batch:
        yield batch
