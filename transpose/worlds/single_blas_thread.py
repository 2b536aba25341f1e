"""Imported for its effect, in processes that are started to render: linear algebra there takes one thread.

BLAS libraries read these variables when they are loaded, so this comes before NumPy.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
