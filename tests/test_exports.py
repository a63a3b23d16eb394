import inspect
import subprocess
import sys

import augsal_transforms


def test_all_is_what_can_be_imported_and_everything_public_is_documented():
    public = {
        name
        for name, value in vars(augsal_transforms).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(augsal_transforms.__all__)
    assert augsal_transforms.__all__ == sorted(augsal_transforms.__all__)
    assert all(inspect.getdoc(getattr(augsal_transforms, name)) for name in public)


def test_the_adapters_folder_installs_inside_the_package():
    import augsal_transforms.adapters

    assert augsal_transforms.adapters.__doc__


def test_importing_needs_neither_diffusion_libraries_nor_a_socket():
    program = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a socket was opened at import")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
import augsal_transforms
import augsal_transforms.cli
loaded = {"diffusers", "transformers", "scipy", "matplotlib", "huggingface_hub"} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)
