"""Run every Python block of Markdown files, each in its own process."""

import re
import subprocess
import sys
from pathlib import Path

for page in sys.argv[1:]:
    text = Path(page).read_text(encoding="utf8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    for number, block in enumerate(blocks, start=1):
        print(f"-- {page}, block {number} of {len(blocks)}", flush=True)
        subprocess.run([sys.executable, "-W", "ignore", "-c", block], check=True)
