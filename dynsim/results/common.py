"""What results share."""


def xarray_module():
    """The module xarray, which is an extra."""
    try:
        import xarray
    except ImportError:
        raise ImportError("to_xarray needs xarray: pip install 'dynsim[xarray]'") from None
    return xarray
