"""Parameters of papermill for Corriente's notebooks: `papermill -p threshold 70 in.ipynb out.ipynb` is what
`param("threshold", 50.0)?` reads in a cell.

papermill has no hook of its own for translators. It loads what is registered as an engine, so this package registers one, which
is papermill's own by another name, and the translator with it.
"""

from papermill.engines import NBClientEngine
from papermill.translators import papermill_translators

from .translator import RustTranslator

# The kernel by its usual name, and the language, for a kernel that was installed under another one.
for name in ("corriente", "rust"):
    papermill_translators.register(name, RustTranslator)


class CorrienteEngine(NBClientEngine):
    """papermill's usual engine."""
