"""Open3D, where it is installed: fusion, ball pivoting, and ray casting where Embree's own package is missing."""

from __future__ import annotations

import ctypes
import logging
from typing import Any

from transpose.errors import MissingPackageError

log = logging.getLogger(__name__)


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
        raise MissingPackageError(f"Open3D ({error})", "fusion", purpose) from None
    return open3d
