from importlib.metadata import version

from rtpose.host import installed_version, processor


def test_versions():
    assert installed_version("numpy") == version("numpy")
    assert installed_version("no-such-package-anywhere") is None


def test_the_processor_has_a_name():
    assert len(processor()) > 3
