"""install/demo: from a fresh clone to a live notebook, in one command that can be stopped and run again."""

import argparse
import os
import platform
import sys
import time
import webbrowser
from pathlib import Path

import build
import children
import environment
import lab
import machine
import notebooks
from places import CACHE, CHECKOUT, FIRST_NOTEBOOK, WORKING_NOTEBOOKS

PROBLEMS = (machine.Missing, build.Failed, environment.Failed, lab.Failed, lab.PortInUse)


def main():
    wishes = read_arguments()
    children.stop_on_signals()
    try:
        demo(wishes)
    except PROBLEMS as problem:
        sys.exit(str(problem))
    except children.Stopped:
        say("Stopped. Start again with ./install/demo; it goes on from here.")


def demo(wishes):
    started = time.monotonic()
    machine.check()
    # Before a build of many minutes, not after it.
    port = lab.choose_port(wishes.port)
    say(f"Corriente is set up in {CACHE}, and nowhere else outside this checkout.")
    say("Building (the first time takes 10 to 25 minutes; stop and start again as you like)")
    build.build()
    python = environment.environment("demo", CHECKOUT / "install" / "requirements.txt")
    environment.install_kernel(python)
    folder = wishes.dir.expanduser().absolute()
    for name in notebooks.lay_out(folder):
        say(f"{name} is as you left it; a newer one came with the checkout (delete yours to get it)")
    serve(wishes, python, folder, port, started)


def serve(wishes, python, folder, port, started):
    server = lab.Lab(python, folder, port, wishes.token)
    try:
        server.wait_until_it_answers()
        url = server.url(FIRST_NOTEBOOK)
        say(f"Ready after {time.monotonic() - started:.0f} s. Your notebooks are in {folder}. Ctrl-C ends everything.")
        say(url)
        if wishes.browser and not open_browser(url):
            say("No browser could be opened from here: open the address above.")
        server.process.wait()
        raise lab.Failed(f"JupyterLab has ended:\n{server.last_lines()}")
    finally:
        server.stop()


def open_browser(url):
    if platform.system() == "Linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # Without a display Python would start a text browser over the terminal.
        return False
    return webbrowser.open(url)


def read_arguments():
    parser = argparse.ArgumentParser(
        prog="install/demo", description="Builds what is missing, sets up a private JupyterLab and opens the first notebook."
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="print the address and stay in front")
    parser.add_argument("--port", type=port_number, metavar="N", help="listen on this port of 127.0.0.1 (8888 or a free one)")
    parser.add_argument("--token", metavar="T", help="the token that opens the page (a random one)")
    parser.add_argument(
        "--dir", type=Path, default=WORKING_NOTEBOOKS, metavar="D", help="where the notebooks you edit live (%(default)s)"
    )
    return parser.parse_args()


def port_number(text):
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return number


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    main()
