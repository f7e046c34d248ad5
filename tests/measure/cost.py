"""What a batch costs by what is held beside it: the lines of kernel/engine/examples/cost.rs, each with a ratio of one run."""

from example import built, children, run

# Each in a process of its own, so that the memory of one is not that of another.
CASES = ("lookup", "largest", "levels", "joined", "partitions", "hopping")
SECONDS = 300


def main():
    children.stop_on_signals()
    program = built("cost")
    for case in CASES:
        run([program, case], SECONDS)


if __name__ == "__main__":
    main()
