"""Loading large libraries."""

import subprocess
import sys

from conftest import ROOT


def test_garbage_is_looked_for_again_once_libraries_are_loaded() -> None:
    code = (
        "import gc, contextlib\n"
        "from chameleon.common.libraries import loading_libraries\n"
        "with contextlib.suppress(ImportError), loading_libraries():\n"
        "    assert not gc.isenabled()\n"
        "    import nonsense\n"
        "assert gc.isenabled()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
