"""What `import rulekit` loads."""

import subprocess
import sys


def test_import_loads_neither_torch_nor_transformers_nor_altair():
    code = (
        "import sys, rulekit; heavy = {'torch', 'transformers', 'altair', 'numba', 'polars'}; "
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
