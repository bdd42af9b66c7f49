"""Addresses: which are taken at all, which lie below a prefix, and which networks are public."""

import pytest

from services.preprocessing.pipelines.fetch.places import Place, is_public

ALLOWED = [
    ("https://images.example.com/", "https://images.example.com/a/b.jpg?signature=%2F..%2F&x=1"),
    ("https://images.example.com/", "HTTPS://Images.Example.com:443/a.jpg"),
    ("https://images.example.com", "https://images.example.com"),
    ("https://images.example.com/photos", "https://images.example.com/photos/a%20b.jpg"),
    ("https://images.example.com/photos", "https://images.example.com/photos"),
    ("http://10.1.2.3:8080/x/", "http://10.1.2.3:8080/x/y"),
    ("http://[::1]:9000/", "http://[::1]:9000/y"),
    ("s3://bucket/photos/", "s3://bucket/photos/2026/a b.jpg".replace(" ", "%20")),
    ("s3://bucket", "s3://bucket/a"),
    ("gs://my_bucket.name/", "gs://my_bucket.name/a"),
    ("az://container/", "az://container/a"),
]
OUTSIDE = [
    ("https://images.example.com/", "http://images.example.com/a"),
    ("https://images.example.com/", "https://images.example.com:8443/a"),
    ("https://images.example.com/", "https://images.example.com.evil.net/a"),
    ("https://images.example.com/", "https://evil.net/images.example.com/"),
    ("https://images.example.com/", "https://images.example.com./a"),
    ("https://images.example.com/photos", "https://images.example.com/photos-secret/a"),
    ("https://images.example.com/photos/", "https://images.example.com/photos"),
    ("https://images.example.com/photos/", "https://images.example.com//photos/a"),
    ("https://images.example.com/photos/", "https://images.example.com/Photos/a"),
    ("https://images.example.com/photos/", "https://images.example.com/?/photos/a"),
    ("http://10.1.2.3/", "http://167838211/"),
    ("s3://bucket/photos/", "s3://bucket/photos2/a"),
    ("s3://bucket/", "s3://bucket2/a"),
    ("s3://bucket/", "gs://bucket/a"),
]
REFUSED = [
    "",
    "x" * 2049,
    "photo.jpg",
    "//images.example.com/a",
    "file:///etc/passwd",
    "ftp://images.example.com/a",
    "data:image/png;base64,AAAA",
    "gopher://127.0.0.1:6379/_",
    "https://",
    "https:///a",
    "https://images.example.com@evil.net/a",
    "https://evil.net@images.example.com/a",
    "https://evil.net\\@images.example.com/a",
    "https://evil.net%2f@images.example.com/a",
    "https://images.example.com/a\n",
    "https://images.example.com\t/a",
    "https://images.example.com/a b",
    "https://images%2eexample.com/a",
    "https://images.example\u3002com/a",
    "https://images.example.com:port/a",
    "https://images.example.com:99999/a",
    "https://images.example.com:/a",
    "https://[::1/a",
    "https://[fe80::1%25eth0]/a",
    "https://images.example.com/photos/../secret",
    "https://images.example.com/photos/%2e%2e/secret",
    "https://images.example.com/photos/.%2E/secret",
    "https://images.example.com/photos/%252e%252e/secret",
    "https://images.example.com/photos/%2e%2e%2fsecret",
    "https://images.example.com/photos/..%5csecret",
    "https://images.example.com/photos/..;/secret",
    "https://images.example.com/photos/%2e%2e;x=1/secret",
    "https://images.example.com:0/a",
    "https://images.example.com/photos%2f..",
    "https://images.example.com/photos\\..\\secret",
    "https://images.example.com/./a",
    "https://images.example.com/a%00.jpg",
    "https://images.example.com/a%0d%0aHost:evil",
    "s3://bucket/../other/a",
    "s3://bucket/a?versionId=1",
    "s3://user:secret@bucket/a",
    "s3://bucket:80/a",
]


@pytest.mark.parametrize(("prefix", "uri"), ALLOWED)
def test_below(prefix, uri):
    """An address below a prefix is found to be, whatever its letters and default port look like."""
    assert Place.parse(uri).below(Place.parse(prefix))


@pytest.mark.parametrize(("prefix", "uri"), OUTSIDE)
def test_not_below(prefix, uri):
    """Another scheme, host, port, bucket or path is not below it, however alike they look."""
    assert not Place.parse(uri).below(Place.parse(prefix))


@pytest.mark.parametrize("uri", REFUSED)
def test_refused(uri):
    """What is no address, or what two programs may read differently, is refused in words that do not repeat it."""
    with pytest.raises(ValueError, match=r"^(takes|is not)") as caught:
        Place.parse(uri)
    assert "evil" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_what_errors_may_say():
    """The name of a place has neither path nor query."""
    assert Place.parse("https://Images.example.com/private/a.jpg?signature=abc").name == "https://images.example.com"
    assert Place.parse("s3://bucket/private/a.jpg").name == "s3://bucket"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 - not bound to
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%2",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_not_public(address):
    """Loopback, private, shared, link-local, reserved and multicast networks, also inside IPv6, are not public."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address):
    """Addresses of the Internet are, also those that stand for IPv4."""
    assert is_public(address)
