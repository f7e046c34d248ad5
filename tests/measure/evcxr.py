"""evcxr's own Jupyter kernel, where it is installed, driven as ours is."""

import json
import shutil
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from kernel import START_WITHIN, Kernel


def evcxr_jupyter():
    """Its program, or None."""
    at_home = Path.home() / ".cargo" / "bin" / "evcxr_jupyter"
    return shutil.which("evcxr_jupyter") or (str(at_home) if at_home.exists() else None)


class EvcxrKernel(Kernel):
    """The same conversation with the other kernel."""

    def __init__(self, program, folder):
        specs = Path(folder) / "kernels"
        (specs / "evcxr").mkdir(parents=True, exist_ok=True)
        spec = {"argv": [program, "--control_file", "{connection_file}"], "display_name": "evcxr", "language": "rust", "interrupt_mode": "message"}
        (specs / "evcxr" / "kernel.json").write_text(json.dumps(spec))
        manager = KernelSpecManager(kernel_dirs=[str(specs)], ensure_native_kernel=False)
        self.manager = KernelManager(kernel_name="evcxr", kernel_spec_manager=manager)
        self.manager.start_kernel(cwd=folder)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=START_WITHIN)
