"""Keys of every algorithm: made, written, read back, and checked by an implementation that is not ours."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mongostore.errors import PayloadUnreadable
from mongostore.signing.key_material import check_usable, generate, parse, serialize
from mongostore.signing.options import EC_ALGORITHMS, RSA_ALGORITHMS

CREATED = datetime(2030, 1, 1, tzinfo=UTC)
ALGORITHMS = (*RSA_ALGORITHMS, *EC_ALGORITHMS)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi"}
CLAIMS = {"sub": "alice"}


@pytest.fixture(scope="module")
def made():
    """One key of each algorithm."""
    return {algorithm: generate(algorithm, f"kid of {algorithm}", 2048) for algorithm in ALGORITHMS}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_signs_validates_by_its_published_part(made, algorithm):
    """PyJWT signs with the credentials and validates with the JWK Set, found by `kid`, as any client does."""
    credentials = made[algorithm]
    token = jwt.encode(CLAIMS, credentials.private_key, algorithm=algorithm, headers={"kid": credentials.key_id})
    jwks = json.loads(json.dumps({"keys": [each.validation_key.public_jwk() for each in made.values()]}))
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    assert (key.algorithm_name, key.public_key_use) == (algorithm, "sig")
    assert jwt.decode(token, key, algorithms=[algorithm]) == CLAIMS
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, generate(algorithm, "other", 2048).validation_key.public_key, algorithms=[algorithm])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_private_jwk_and_pem_are_the_same_key(made, algorithm):
    """Whatever form a JOSE library wants the key in, its tokens validate."""
    credentials = made[algorithm]
    for private_key in (
        jwt.PyJWK(credentials.private_jwk()).key,
        load_pem_private_key(credentials.private_pem(), None),
    ):
        token = jwt.encode(CLAIMS, private_key, algorithm=algorithm)
        assert jwt.decode(token, credentials.validation_key.public_key, algorithms=[algorithm]) == CLAIMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_stored_key_is_read_back(made, algorithm):
    """Every number survives; the public part tells none of the private ones, and no repr does."""
    credentials = made[algorithm]
    stored = serialize(credentials, CREATED)
    assert (stored.id, stored.algorithm, stored.created) == (credentials.key_id, algorithm, CREATED)
    assert (stored.version, stored.is_x509_certificate, stored.data_protected) == (1, False, False)
    read = parse(stored)
    assert read.private_jwk() == credentials.private_jwk()
    assert read.validation_key.public_jwk() == credentials.validation_key.public_jwk()
    assert not PRIVATE_MEMBERS & credentials.validation_key.public_jwk().keys()
    assert credentials.private_jwk()["d"] not in repr(read) + repr(read.validation_key) + repr(stored)


def test_coordinates_have_their_full_length():
    """RFC 7518 §6.2.1.2: leading zeros stay; one key in 128 has some in x or y."""
    lengths = {"P-256": 32, "P-384": 48, "P-521": 66}
    for _ in range(300):
        for algorithm in EC_ALGORITHMS:
            jwk = generate(algorithm, "k", 0).private_jwk()
            decoded = {name: base64.urlsafe_b64decode(jwk[name] + "==") for name in ("x", "y", "d")}
            assert {len(value) for value in decoded.values()} == {lengths[jwk["crv"]]}


def test_an_rsa_key_has_the_size_that_is_asked_for():
    """And the public exponent that everybody uses."""
    numbers = generate("PS512", "k", 3072).validation_key.public_key.public_numbers()
    assert (numbers.n.bit_length(), numbers.e) == (3072, 65_537)


def test_a_certificate_is_published_with_its_key():
    """x5c is base64 (not base64url) of the DER, x5t#S256 its thumbprint (RFC 7517 §4.7, §4.9); it is self-signed."""
    until = CREATED + timedelta(days=104)
    credentials = parse(serialize(generate("RS256", "k", 2048, (CREATED, until)), CREATED))
    jwk = credentials.validation_key.public_jwk()
    der = base64.b64decode(jwk["x5c"][0], validate=True)
    assert der == credentials.certificate
    certificate = x509.load_der_x509_certificate(der)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == credentials.validation_key.public_key
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == (CREATED, until)
    assert certificate.subject.rfc4514_string() == "CN=k"
    assert (
        jwk["x5t#S256"]
        == base64.urlsafe_b64encode(certificate.fingerprint(certificate.signature_hash_algorithm)).rstrip(b"=").decode()
    )
    assert serialize(credentials, CREATED).is_x509_certificate is True


def changed(key, **members):
    """The stored key with other members in its JWK; None takes one out."""
    jwk = {name: value for name, value in (json.loads(key.data) | members).items() if value is not None}
    return key.model_copy(update={"data": json.dumps(jwk)})


# RFC 7517, section 4.
OPTIONAL = {"use", "kid", "alg"}


def test_what_is_no_such_key_is_refused_and_not_repeated(made):
    """Wrong forms, foreign and inconsistent numbers, other versions: PayloadUnreadable, which names the id alone."""
    rsa, ec = serialize(made["RS256"], CREATED), serialize(made["ES256"], CREATED)
    other_rsa, other_ec = json.loads(serialize(made["RS384"], CREATED).data), generate("ES256", "k", 0).private_jwk()
    certified = serialize(generate("RS256", "k", 2048, (CREATED, CREATED + timedelta(days=1))), CREATED)
    bad = [
        *(rsa.model_copy(update={"data": data}) for data in ("", "hunter2", "null", "[]", "{}", '"text"', "\ud800")),
        *(changed(rsa, **{name: None}) for name in json.loads(rsa.data) if name not in OPTIONAL),
        *(changed(ec, **{name: None}) for name in json.loads(ec.data) if name not in OPTIONAL),
        *(changed(rsa, **{name: other_rsa[name]}) for name in ("n", "d", "p", "dp", "qi")),
        *(changed(ec, **{name: other_ec[name]}) for name in ("d", "x", "y")),
        changed(ec, d="!"),
        changed(ec, d=5),
        changed(ec, d=[]),
        changed(ec, crv="P-384"),
        changed(ec, kty="RSA"),
        rsa.model_copy(update={"id": "another"}),
        rsa.model_copy(update={"algorithm": "PS256"}),
        changed(rsa.model_copy(update={"algorithm": "ES256"}), alg="ES256"),
        changed(rsa.model_copy(update={"algorithm": "HS256"}), alg="HS256"),
        rsa.model_copy(update={"version": 2}),
        rsa.model_copy(update={"data_protected": True}),
        rsa.model_copy(update={"is_x509_certificate": True}),
        changed(certified, x5c=[]),
        changed(certified, x5c=["hunter2"]),
        changed(certified, n=None),
        changed(rsa.model_copy(update={"is_x509_certificate": True}), x5c=json.loads(certified.data)["x5c"]),
    ]
    for key in bad:
        with pytest.raises(PayloadUnreadable, match=key.id) as refusal:
            parse(key)
        assert "hunter2" not in str(refusal.value)
        assert refusal.value.__cause__ is None
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_members_that_are_not_known_are_ignored(made):
    """RFC 7517 §4: a newer version may add some."""
    assert parse(changed(serialize(made["ES256"], CREATED), new="member")).key_id == "kid of ES256"


def test_a_key_for_the_door_has_bits_enough(made):
    """What a key may sign with is checked when it is stored, not when it is read: smaller ones are read."""
    small = serialize(generate("RS256", "k", 1024), CREATED)
    assert parse(small).private_key.key_size == 1024
    with pytest.raises(ValueError, match="2048 bits"):
        check_usable(small)
    for credentials in made.values():
        check_usable(serialize(credentials, CREATED))
