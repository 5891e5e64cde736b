"""Signing keys themselves: generated, written as JWK (RFC 7517, RFC 7518 §6) and read back.

The only place that knows what a key is made of. Generating and reading an RSA key takes tens of milliseconds of CPU: call
both off the event loop.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mongostore.errors import PayloadUnreadable
from mongostore.models import SerializedKey
from mongostore.signing.options import EC_ALGORITHMS, RSA_ALGORITHMS, SMALLEST_RSA_KEY

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

# RFC 7518 §3.4 and §6.2.1.1.
_CURVES: Mapping[str, tuple[str, ec.EllipticCurve]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}
_PUBLIC_EXPONENT = 65_537
_VERSION = 1
_BITS_OF_A_BYTE = 8
# In base64url, of the largest RSA key that is made.
_LONGEST_NUMBER = 2_731


@dataclass(frozen=True, slots=True)
class ValidationKey:
    """The public half of a signing key.

    Attributes:
        key_id: the `kid` of tokens that it validates.
        algorithm: their `alg`.
        public_key: as `cryptography` has it.
        certificate: self-signed, DER; None for most.
    """

    key_id: str
    algorithm: str
    public_key: PublicKey
    certificate: bytes | None = None

    def public_jwk(self) -> dict[str, Any]:
        """As a JWK (RFC 7517): kty, use, alg, kid and the public numbers; with a certificate also x5c and x5t#S256."""
        jwk: dict[str, Any] = {"kid": self.key_id, "alg": self.algorithm, "use": "sig"}
        jwk |= _public_members(self.public_key)
        if self.certificate is not None:
            digest = x509.load_der_x509_certificate(self.certificate).fingerprint(hashes.SHA256())
            jwk |= {"x5c": [base64.b64encode(self.certificate).decode()], "x5t#S256": _base64url(digest)}
        return jwk


@dataclass(frozen=True, slots=True)
class SigningCredentials:
    """What a server signs a token with.

    Attributes:
        key_id: the token's `kid`.
        algorithm: its `alg`.
        private_key: as `cryptography` has it.
        certificate: self-signed, DER; None for most.
    """

    key_id: str
    algorithm: str
    private_key: PrivateKey = field(repr=False)
    certificate: bytes | None = None

    @property
    def validation_key(self) -> ValidationKey:
        """The public half."""
        return ValidationKey(self.key_id, self.algorithm, self.private_key.public_key(), self.certificate)

    def private_jwk(self) -> dict[str, Any]:
        """As a JWK with the private numbers, for JOSE libraries: a secret."""
        return self.validation_key.public_jwk() | _private_members(self.private_key)

    def private_pem(self) -> bytes:
        """As unencrypted PKCS #8 in PEM: a secret."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def generate(
    algorithm: str, key_id: str, rsa_key_size: int, certificate_validity: tuple[datetime, datetime] | None = None
) -> SigningCredentials:
    """Make a key.

    Args:
        algorithm: one of `RSA_ALGORITHMS` or `EC_ALGORITHMS`.
        key_id: its `kid`.
        rsa_key_size: in bits.
        certificate_validity: when given, an RSA key is wrapped in a self-signed certificate that is valid from and until.
    """
    if algorithm in EC_ALGORITHMS:
        return SigningCredentials(key_id, algorithm, ec.generate_private_key(_CURVES[algorithm][1]))
    private_key = rsa.generate_private_key(_PUBLIC_EXPONENT, rsa_key_size)
    certificate = _certificate(key_id, private_key, *certificate_validity) if certificate_validity else None
    return SigningCredentials(key_id, algorithm, private_key, certificate)


def serialize(credentials: SigningCredentials, created: datetime) -> SerializedKey:
    """Make what is stored of a key: its data are the private JWK as JSON."""
    return SerializedKey(
        version=_VERSION,
        id=credentials.key_id,
        created=created,
        algorithm=credentials.algorithm,
        is_x509_certificate=credentials.certificate is not None,
        data=json.dumps(credentials.private_jwk(), sort_keys=True, separators=(",", ":")),
    )


def parse(key: SerializedKey) -> SigningCredentials:
    """Read a stored key, and check that its numbers belong together.

    Raises:
        PayloadUnreadable: it is no private JWK of the key that it says to be.
    """
    try:
        return _read(key)
    except _UnusableError as problem:
        raise PayloadUnreadable(
            f"the signing key {key.id[:100]!r} can't be used: {problem}. Restore it from a backup, or delete it",
            collection="signing_keys",
        ) from None


def check_usable(key: SerializedKey) -> None:
    """Refuse a key that could not sign; reading an RSA key takes tens of milliseconds.

    Raises:
        ValueError: it is no private JWK of the algorithm that it names; the message says what is wrong.
    """
    try:
        private_key = _read(key).private_key
    except _UnusableError as problem:
        raise ValueError(f"the signing key {key.id[:100]!r} can't be stored: {problem}") from None
    if private_key.key_size < SMALLEST_RSA_KEY and isinstance(private_key, rsa.RSAPrivateKey):
        raise ValueError(
            f"the signing key {key.id[:100]!r} can't be stored: an RSA key has {SMALLEST_RSA_KEY} bits at least "
            f"(RFC 7518, section 3.3), this one has {private_key.key_size}"
        )


class _UnusableError(Exception):
    """Why data are no key that can sign; it quotes nothing of them."""


def _read(key: SerializedKey) -> SigningCredentials:
    if key.version != _VERSION:
        raise _UnusableError(f"its version is {key.version}, and only {_VERSION} is known")
    if key.data_protected:
        raise _UnusableError("its data were protected by another system (data_protected): give them in clear")
    if key.algorithm not in (*RSA_ALGORITHMS, *EC_ALGORITHMS):
        raise _UnusableError(
            f"its algorithm {key.algorithm[:40]!r} is none of {', '.join((*RSA_ALGORITHMS, *EC_ALGORITHMS))}"
        )
    jwk = _jwk(key)
    try:
        private_key = _private_key(key.algorithm, jwk)
        certificate = base64.b64decode(jwk["x5c"][0], validate=True) if key.is_x509_certificate else None
        is_certified = (
            certificate is None or x509.load_der_x509_certificate(certificate).public_key() == private_key.public_key()
        )
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, UnsupportedAlgorithm):
        # Not chained: the cause may quote the data.
        raise _UnusableError(
            f"its data are no complete private JWK for {key.algorithm} (RFC 7518, section 6)"
        ) from None
    if not is_certified:
        raise _UnusableError("its certificate is that of another key")
    return SigningCredentials(key.id, key.algorithm, private_key, certificate)


def _jwk(key: SerializedKey) -> dict[str, Any]:
    """The data as a JWK that has a private part and is that of this key."""
    if "-----BEGIN" in key.data:
        raise _UnusableError("its data are PEM: give the private key as a JWK (RFC 7517)")
    try:
        jwk = json.loads(key.data)
    except (ValueError, RecursionError):
        raise _UnusableError("its data are no JSON: give the private key as a JWK (RFC 7517)") from None
    if not isinstance(jwk, dict) or "kty" not in jwk:
        raise _UnusableError("its data are JSON and no JWK (RFC 7517)")
    if jwk["kty"] not in ("RSA", "EC"):
        raise _UnusableError("its data are no asymmetric key: the JWK's kty must be RSA or EC")
    if jwk["kty"] != ("RSA" if key.algorithm in RSA_ALGORITHMS else "EC"):
        raise _UnusableError(f"its data are a key of type {jwk['kty']}, with which {key.algorithm} does not sign")
    if "d" not in jwk:
        raise _UnusableError("its data are a public key: the private part (d) is missing")
    if (jwk.get("kid", key.id), jwk.get("alg", key.algorithm)) != (key.id, key.algorithm):
        raise _UnusableError("its data are those of another key: kid and alg of the JWK must be its id and algorithm")
    return jwk


def _public_members(public_key: PublicKey) -> dict[str, str]:
    if isinstance(public_key, rsa.RSAPublicKey):
        rsa_numbers = public_key.public_numbers()
        return {"kty": "RSA", "n": _number(rsa_numbers.n), "e": _number(rsa_numbers.e)}
    numbers = public_key.public_numbers()
    curve = next(name for name, curve in _CURVES.values() if curve.name == public_key.curve.name)
    size = _coordinate_bytes(public_key.curve)
    return {"kty": "EC", "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}


def _private_members(private_key: PrivateKey) -> dict[str, str]:
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        size = _coordinate_bytes(private_key.curve)
        return {"d": _number(private_key.private_numbers().private_value, size)}
    numbers = private_key.private_numbers()
    members = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1}
    return {name: _number(value) for name, value in (members | {"qi": numbers.iqmp}).items()}


def _private_key(algorithm: str, jwk: Mapping[str, str]) -> PrivateKey:
    if algorithm in RSA_ALGORITHMS and jwk["kty"] == "RSA":
        public = rsa.RSAPublicNumbers(_int(jwk["e"]), _int(jwk["n"]))
        p, q, d, dp, dq, qi = (_int(jwk[name]) for name in ("p", "q", "d", "dp", "dq", "qi"))
        return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()
    name, curve = _CURVES[algorithm]
    if (jwk["kty"], jwk["crv"]) != ("EC", name):
        raise ValueError("the key is of another type than its algorithm")
    point = ec.EllipticCurvePublicNumbers(_int(jwk["x"]), _int(jwk["y"]), curve)
    return ec.EllipticCurvePrivateNumbers(_int(jwk["d"]), point).private_key()


def _certificate(key_id: str, private_key: rsa.RSAPrivateKey, begin: datetime, end: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, key_id)])
    builder = (
        x509.CertificateBuilder(name, name, private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    return builder.sign(private_key, hashes.SHA256()).public_bytes(Encoding.DER)


def _coordinate_bytes(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + _BITS_OF_A_BYTE - 1) // _BITS_OF_A_BYTE


def _number(value: int, size: int | None = None) -> str:
    """Base64url of the big-endian bytes (RFC 7518 §2), zero-padded to `size` for coordinates (§6.2)."""
    return _base64url(value.to_bytes(size or (value.bit_length() + _BITS_OF_A_BYTE - 1) // _BITS_OF_A_BYTE, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("longer than any key's numbers")
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
