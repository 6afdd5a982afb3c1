"""Run every Python block of Markdown files, each in its own process."""

import re
import subprocess
import sys
from pathlib import Path

from spacy.util import is_package

#: A pipeline from data that are not always here, and the one of the main job.
OPEN, DEMO = "en_msvse_open", "en_msvse_synthetic"

for page in sys.argv[1:]:
    text = Path(page).read_text(encoding="utf8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for number, block in enumerate(blocks, start=1):
        print(f"-- {page}, block {number} of {len(blocks)}", flush=True)
        if OPEN in block and not is_package(OPEN):
            print(f"   {OPEN} is not installed: with {DEMO} in its place", flush=True)
            block = block.replace(OPEN, DEMO)
        subprocess.run([sys.executable, "-W", "ignore", "-c", block], check=True)
