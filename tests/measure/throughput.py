"""Rows a second of Corriente's query on a topic of transactions, beside a hand-written loop over the same topic; what a record
takes to become a row, beside a loop with serde_json; what a batch costs by the keys that are held, beside few keys.
"""

import json
import os
import subprocess
import time

from example import COMMAND, broker, built, children, run

TOPIC = "transactions"
ROWS = 2_000_000
KEYS = (10_000, 1_000_000, 10_000_000)
# Threads of the hand-written loop and of Polars, and the cores that a side may use (None: all). A loop of one thread is no
# limit where there are two cores, for a query fetches on a thread of its own: only with one core for all do both have the same.
CASES = ((1, 1), (1, None), (2, None))
# What a query with two cores does at least, as a multiple of what it does with one: it fetches, decodes and aggregates on threads of
# their own.
SECOND_CORE = 1.6
# What decoding may come to at least, as a part of what the hand-written loop does.
DECODING = 0.8
# What a case may take for each row, and at least.
SECONDS_A_ROW, SECONDS = 60e-6, 170


def main():
    children.stop_on_signals()
    rows = int(os.environ.get("CORRIENTE_BENCH_ROWS") or ROWS)
    program, decode = built("throughput"), built("decode")
    with broker(rows) as (bootstrap, which):
        fill(bootstrap, which, rows)
        for key in ("category", "account"):
            reached = {}
            for threads, cores in CASES:
                variables = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
                command = [program, "rows", bootstrap, TOPIC, key, threads]
                line = measured(command, SECONDS + rows * SECONDS_A_ROW, env=variables, preexec_fn=pinned(cores))
                reached[line["cores"]] = line["corriente_rows_per_second"]
            if 1 in reached and 2 in reached:
                ratio = round(reached[2] / reached[1], 3)
                facts = {"case": f"the second core, by {key}", "ratio": ratio, "wanted_ratio": SECOND_CORE}
                print(json.dumps(facts), flush=True)
    decoding(decode)
    run([program, "keys", *KEYS], SECONDS)


def measured(command, within, **variables):
    """The line that a program prints, which is the bench's too."""
    words = [str(word) for word in command]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=within, **variables)
    print(answer.stdout, end="", flush=True)
    return json.loads(answer.stdout.splitlines()[-1])


def pinned(cores):
    """What has a child use the last so many of our cores only; None where that cannot be, or need not."""
    if cores is None or not hasattr(os, "sched_setaffinity"):
        return None
    last = sorted(os.sched_getaffinity(0))[-cores:]
    return lambda: os.sched_setaffinity(0, last)


def fill(bootstrap, which, rows):
    began, load = time.monotonic(), round(os.getloadavg()[0], 2)
    command = [COMMAND, "produce", "bank", "--bootstrap", bootstrap, "--topic", TOPIC, "--rate", 0, "--count", rows]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    # What else the machine does takes more from a loop that would use all cores than from a query, and so betters the ratios.
    facts = {"case": "fill", "broker": which, "rows": rows, "rows_per_second": round(rows / seconds), "load_before": load}
    print(json.dumps(facts), flush=True)


def decoding(program):
    """The example's lines, each with its ratio to a hand-written loop over the same fields."""
    answer = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS)
    for line in map(json.loads, answer.stdout.splitlines()):
        facts = {**line, "case": f"decode {line['case']}", "wanted_ratio": DECODING}
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
