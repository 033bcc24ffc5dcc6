"""How a rival takes part in a comparison: the options of its command line, and the lines it speaks with the driver.

`run N` on standard input performs N training steps and answers {"ms": [...]}; `quit` ends. Without a driver: `--steps N`
prints a summary. A step returns when its work is done.
"""

import argparse
import json
import statistics
import sys
import time


def parse(description, workloads, modes):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", choices=workloads, required=True)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0)
    return parser.parse_args()


def serve(step, name, options):
    def timed(count):
        times = []
        for _ in range(count):
            start = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - start))
        return times

    timed(options.warmup)
    if options.steps > 0:
        times = sorted(timed(options.steps))
        print(json.dumps({"medianMs": statistics.median(times), "minMs": times[0], "maxMs": times[-1]}))
        return
    print(json.dumps({"ready": f"{name} {options.mode}"}), flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words or words[0] == "quit":
            return
        print(json.dumps({"ms": timed(int(words[1]))}), flush=True)
