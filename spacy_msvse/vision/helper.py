"""A helper process that decodes the pictures whose decoders have no time limit of their own.

It ends itself when a picture takes too long, so nothing is left behind if this process dies. What
libraries in C print about a picture, as libtiff does, goes to a file of the helper, and becomes
part of the reason.
"""

import atexit
import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from io import BytesIO, FileIO
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from typing import Any, cast

from PIL import Image

from .decoding import DecodingError, decode_opened, explain, opened_image
from .guard import DECODING_SECONDS

#: Helpers that wait for the next picture. More may run at the same time.
MAX_IDLE = min(4, os.cpu_count() or 1)

#: Seconds that starting a helper may take.
START_SECONDS = 60

#: Bytes of a pipe, where the system permits it. Large pipes are several times faster.
_PIPE_BYTES = 2**20

#: Bytes of a message of a library that reasons show.
_SHOWN = 200

#: The numbers before a message: the length of its JSON part, and of the bytes after it.
_LENGTHS = Struct("<QQ")

#: The program of a helper. The package is imported from where this process has found it.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from spacy_msvse.vision.helper import serve; serve()"
)


class Helper:
    """A helper process.

    Raises:
        DecodingError: If the process cannot be started.
    """

    def __init__(self) -> None:
        # An editable installation is found by a hook, not by `sys.path`.
        home = Path(__file__).parents[2]
        path = json.dumps([os.path.abspath(folder) for folder in (str(home), *sys.path)])
        try:
            # No window on Windows. Without the options, Python reads settings of the user.
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                pipesize=_PIPE_BYTES,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, ValueError) as error:
            raise DecodingError(f"its decoder cannot be started ({error})") from error
        self.requests = cast(FileIO, self.process.stdin)
        self.replies = cast(FileIO, self.process.stdout)
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        try:
            _receive(self.replies)
        except BaseException as error:
            self.stop()
            if isinstance(error, EOFError):
                code = self.process.returncode
                reason = f"its decoder cannot be started (exit code {code})"
                raise DecodingError(reason) from error
            raise
        finally:
            timer.cancel()

    def decode(self, data: bytes, max_pixels: int, shrink_to: int | None) -> Image.Image:
        """Decode a picture.

        Args:
            data (bytes): The encoded content.
            max_pixels (int): Limit on width times height.
            shrink_to (int): Side of a square, or None for full size.

        Returns:
            Image: The picture, of mode RGB.

        Raises:
            DecodingError: If the picture cannot be decoded.
            EOFError: If the helper has ended, in time or not.
        """
        limits = {"max_pixels": max_pixels, "shrink_to": shrink_to, "seconds": DECODING_SECONDS}
        try:
            _send(self.requests, limits, data)
        except OSError as error:
            raise EOFError("no request") from error
        reply, pixels = _receive(self.replies)
        if "reason" in reply:
            raise DecodingError(reply["reason"])
        return Image.frombytes("RGB", tuple(reply["size"]), pixels)

    def explain_end(self) -> str:
        """State the reason why the helper has ended."""
        code = self.process.wait()
        if code == 1:  # of faulthandler
            return (
                f"decoding it takes longer than {DECODING_SECONDS} seconds; save it as PNG or "
                "JPEG, or smaller"
            )
        return f"its decoder has ended with exit code {code}; save it as PNG or JPEG"

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close the pipes."""
        for stream in (self.requests, self.replies):
            with suppress(OSError):
                stream.close()


_idle: list[Helper] = []
_lock = threading.Lock()


def decode_in_helper(data: bytes, max_pixels: int, shrink_to: int | None) -> Image.Image:
    """Decode a picture in a helper process, within `DECODING_SECONDS`.

    Args:
        data (bytes): The encoded content.
        max_pixels (int): Limit on width times height.
        shrink_to (int): Side of a square. A large picture is shrunk to about its number of pixels.
            None for full size.

    Returns:
        Image: The picture, of mode RGB.

    Raises:
        DecodingError: If the picture cannot be decoded, takes too long, or ends the helper; or if
            no helper can be started.
    """
    helper = _take() or Helper()
    try:
        picture = helper.decode(data, max_pixels, shrink_to)
    except DecodingError:
        _give_back(helper)
        raise
    except EOFError as error:
        reason = helper.explain_end()
        helper.stop()
        raise DecodingError(reason) from error
    except BaseException:  # such as a keyboard interrupt: the reply would be that of the next one
        helper.stop()
        raise
    _give_back(helper)
    return picture


def _take() -> Helper | None:
    with _lock:
        helper = _idle.pop() if _idle else None
    if helper is None or helper.process.poll() is None:
        return helper
    helper.stop()
    return None


def _give_back(helper: Helper) -> None:
    with _lock:
        if len(_idle) < MAX_IDLE:
            _idle.append(helper)
            return
    helper.stop()


@atexit.register
def stop_helpers() -> None:
    """End the helpers that wait."""
    with _lock:
        while _idle:
            _idle.pop().stop()


def _forget_inherited() -> None:
    """Leave the helpers of a parent process to it."""
    global _lock
    _lock = threading.Lock()
    while _idle:
        helper = _idle.pop()
        helper.process.returncode = 0  # it is no child of this process
        helper.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def serve() -> None:
    """Decode pictures from standard input until it is closed. The program of a helper."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent may finish its work
    warnings.simplefilter("ignore")
    requests, replies = FileIO(os.dup(0), "rb"), FileIO(os.dup(1), "wb")
    with _open_messages() as messages:
        for stream in (1, 2):
            os.dup2(messages.fileno(), stream)
        _send(replies, {}, b"")
        while True:
            try:
                request, data = _receive(requests)
            except EOFError:
                return
            faulthandler.dump_traceback_later(request["seconds"], exit=True, file=messages)
            reply, pixels = _answer(data, request, messages)
            faulthandler.cancel_dump_traceback_later()
            _send(replies, reply, pixels)


def _open_messages() -> Any:
    """A file for what libraries print, or nothing where no folder can be written to."""
    try:
        return TemporaryFile()
    except OSError:
        return open(os.devnull, "r+b")


def _answer(data: bytearray, request: Any, messages: Any) -> tuple[dict[str, Any], bytes]:
    with suppress(OSError):  # of the null device
        messages.seek(0)
        messages.truncate()
    try:
        limits = request["max_pixels"], request["shrink_to"]
        with opened_image(BytesIO(data), *limits, max_reads=None) as image:
            picture = decode_opened(image, request["shrink_to"])
        return {"size": picture.size}, picture.tobytes()
    except (DecodingError, MemoryError) as error:
        reason = explain(error)
    messages.seek(0)
    said = messages.read(_SHOWN).decode(errors="replace").split("\n")[0].strip()
    said = said.removeprefix("tempfile.tif: ")  # the name that Pillow gives every TIFF
    said = "".join(letter if letter.isprintable() else "?" for letter in said)
    return {"reason": f"{reason} ({said})" if said else reason}, b""


def _send(stream: FileIO, message: Any, data: bytes) -> None:
    header = json.dumps(message).encode()
    for part in (_LENGTHS.pack(len(header), len(data)), header, data):
        rest = memoryview(part)
        while rest:
            rest = rest[stream.write(rest) :]


def _receive(stream: FileIO) -> tuple[Any, bytearray]:
    header, data = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    return json.loads(_read(stream, header)), _read(stream, data)


def _read(stream: FileIO, size: int) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = stream.readinto(rest)
        if not count:
            raise EOFError("the other process has ended")
        rest = rest[count:]
    return data
