"""Open3D, where it is installed: fusion, ball pivoting, and ray casting where Embree's own package is missing."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

from transpose.errors import MissingPackageError

log = logging.getLogger(__name__)
# Open3D's wheels link against libraries of the system that containers and servers without a screen may lack.
_SYSTEM_LIBRARIES = (
    "a library of the system is missing, not a Python package; on Debian and Ubuntu: apt install libegl1 libgl1, "
    "on Fedora: dnf install mesa-libEGL mesa-libGL"
)


def import_open3d(purpose: str = "to fuse depth images") -> Any:
    """Open3D, with the libusb that it links against taken from the wheel `libusb-package` where the system has none.

    Raises:
        MissingPackageError: it is not installed or cannot be loaded; says that it is needed for `purpose`.
    """
    try:
        try:
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
        except (ImportError, OSError):
            log.debug("libusb-package is not usable; Open3D will look for the system's libusb")
        import open3d
    except (ImportError, OSError) as error:
        remedy = _SYSTEM_LIBRARIES if "cannot open shared object file" in str(error) else None
        raise MissingPackageError(f"Open3D ({error})", "fusion", purpose, remedy) from None
    return open3d
