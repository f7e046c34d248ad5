"""The time on the cores of a windowed query over a quiet topic, beside a bare consumer that polls, in the same run."""

from example import broker, built, children, run

SECONDS = 60


def main():
    children.stop_on_signals()
    program = built("idle")
    with broker(20_000) as (bootstrap, which):
        run([program, bootstrap, SECONDS, which], 6 * SECONDS)


if __name__ == "__main__":
    main()
