"""From the newest event to a result that has it, at 10,000 rows a second: Corriente's live query beside a hand-written loop."""

from example import broker, built, children, run

RATE = 10_000
SECONDS = 30


def main():
    children.stop_on_signals()
    program = built("latency")
    with broker(2 * RATE * SECONDS) as (bootstrap, which):
        run([program, bootstrap, RATE, SECONDS, which], 4 * SECONDS)


if __name__ == "__main__":
    main()
