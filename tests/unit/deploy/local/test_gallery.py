"""The key of the gallery on one machine."""

from deploy.local.gallery import gallery_environment, key_file
from services.vision.pipelines.faces.gallery.crypto import parse_keys


def test_a_key_is_made_once(tmp_path):
    """The first start makes a key that the service reads; the next finds the same."""
    path = key_file(tmp_path / "new" / "faces.key")
    made = path.read_text()
    assert len(parse_keys(made)) == 1
    assert key_file(path).read_text() == made
    assert key_file(tmp_path / "other.key").read_text() != made


def test_only_the_owner_reads_it(tmp_path):
    """The file has mode 600, and nothing else is left beside it."""
    path = key_file(tmp_path / "faces.key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_service_is_told(tmp_path):
    """A database and the key, both in the directory."""
    assert gallery_environment(tmp_path) == {
        "VISION_GALLERY_URL": f"sqlite:///{tmp_path}/faces.sqlite",
        "VISION_GALLERY_KEY_FILE": f"{tmp_path}/faces.key",
    }
