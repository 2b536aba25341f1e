"""What the service adds to a photo's time, and what it does under many clients; 127.0.0.1 alone is asked.

    python benchmarks/serve.py RUN PHOTOS [--count 20] [--clients 32] [--each 4] [--threads 2]

Photos go in turn through `transpose.load(RUN).localize` in a process of its own and through `POST /localize` of a
service of the same run, one after another; the medians and their ratio are told. Then so many clients send each so many
photos at once; who is told to come again (429) does so. Told: how many were answered, how often 429 was said, anything
else that was said, and how much memory the service took at most, after one photo and in the end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from stages import machine

ALONE = """
import sys, time
from transpose.parallel import use_threads, wait_quietly
wait_quietly()
use_threads(int(sys.argv[1]))
import transpose
localizer = transpose.load(sys.argv[2])
localizer.localize(sys.argv[3])
for line in sys.stdin:
    started = time.perf_counter()
    localizer.localize(line.strip())
    print(time.perf_counter() - started, flush=True)
"""


def peak_mib(process: int) -> float:
    """The most memory that a process ever held (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def send(client: httpx.Client, url: str, path: Path) -> httpx.Response:
    """One photo."""
    return client.post(f"{url}/localize", files={"image": (path.name, path.read_bytes())})


def load_test(url: str, photos: list[Path], clients: int, each: int) -> Counter[str]:
    """What many clients at once are told, by status."""

    def one(number: int) -> Counter[str]:
        said: Counter[str] = Counter()
        with httpx.Client(timeout=600) as client:
            for turn in range(each):
                for _ in range(200):
                    answer = send(client, url, photos[(number * each + turn) % len(photos)])
                    said[str(answer.status_code)] += 1
                    if answer.status_code != 429:
                        break
                    time.sleep(float(answer.headers["retry-after"]))
        return said

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(one, range(clients)), Counter())


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("photos", type=Path, help="a folder")
    parser.add_argument("--count", type=int, default=20, help="of photos, one after another")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--each", type=int, default=4, help="photos of each client")
    parser.add_argument("--waiting", type=int, default=16, help="requests that may wait")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.iterdir())[: arguments.count]
    threads = str(arguments.threads)
    words = ["serve", str(arguments.run), "--port", "0", "--threads", threads, "--waiting", str(arguments.waiting)]
    words += ["--seconds", "600"]
    served = subprocess.Popen([sys.executable, "-m", "transpose", *words], stdout=subprocess.PIPE, text=True)
    alone = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", ALONE, threads, str(arguments.run), str(photos[0])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdout is not None and alone.stdin is not None and alone.stdout is not None
    try:
        url = served.stdout.readline().strip()
        api_s, http_s, inside_s = [], [], []
        with httpx.Client(timeout=600) as client:
            send(client, url, photos[0]).raise_for_status()
            first_mib = peak_mib(served.pid)
            for path in photos:
                alone.stdin.write(f"{path}\n")
                alone.stdin.flush()
                api_s.append(float(alone.stdout.readline()))
                started = time.perf_counter()
                inside_s.append(send(client, url, path).raise_for_status().json()["seconds"])
                http_s.append(time.perf_counter() - started)
        ratio = statistics.median(h / a for h, a in zip(http_s, api_s, strict=True))
        print(f"{machine()}, {threads} threads")
        print(
            f"alone {1000 * statistics.median(api_s):.0f} ms, over HTTP {1000 * statistics.median(http_s):.0f} ms, ",
            end="",
        )
        print(f"of which localizing {1000 * statistics.median(inside_s):.0f} ms")
        print(f"ratio, photo by photo: {ratio:.2f}")
        started = time.perf_counter()
        said = load_test(url, photos, arguments.clients, arguments.each)
        print(f"{arguments.clients} clients with {arguments.each} photos each: {dict(said)}, told by status, ", end="")
        print(f"{time.perf_counter() - started:.0f} s; peak memory {first_mib:.0f} MiB after one photo, ", end="")
        print(f"{peak_mib(served.pid):.0f} MiB in the end")
    finally:
        for process in (served, alone):
            process.terminate()
            process.wait(timeout=60)


if __name__ == "__main__":
    main()
