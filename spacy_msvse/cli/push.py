"""`python -m spacy msvse push`"""

from typing import Annotated

import typer
from wasabi import msg

from .loading import find_folder
from .messages import count
from .root import app


@app.command("push")
def push_cli(
    model: Annotated[str, typer.Argument(help="Name or folder of a trained pipeline")],
    repo: Annotated[str, typer.Argument(help="Repository of the hub, such as NAME/en_msvse_posts")],
    public: Annotated[
        bool, typer.Option("--public", help="Let everyone read a new repository")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent, and send nothing")
    ] = False,
) -> None:
    """Send a pipeline to the hub of Hugging Face: its files, its wheel and its card.

    A repository that does not exist is created, private without --public. The token is that of
    `hf auth login`. Write the card with `card` first: the licence and the scores of meta.json
    become metadata of the repository.
    """
    from ..hub import push

    upload = push(find_folder(model), repo, public=public, dry_run=dry_run)
    for name, size in upload.files.items():
        typer.echo(f"{size:>12,}  {name}")
    total = f"{count(len(upload.files), 'file')}, {sum(upload.files.values()):,} bytes"
    if upload.url is None:
        msg.info(f"Dry run: nothing was sent to {repo}. It would be {total}")
    else:
        msg.good(f"Sent {total}: {upload.url}")
