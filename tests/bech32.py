"""Bech32, as far as age writes its recipients in it (BIP 173)."""

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def bech32(name: str, data: bytes) -> str:
    """Return `name`, a 1, the data and a checksum."""
    bits = "".join(f"{byte:08b}" for byte in data)
    words = [int(bits[start : start + 5].ljust(5, "0"), 2) for start in range(0, len(bits), 5)]
    spread = [*(ord(char) >> 5 for char in name), 0, *(ord(char) & 31 for char in name)]
    checksum = _polymod([*spread, *words, *[0] * 6]) ^ 1
    words += [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{name}1{''.join(_LETTERS[word] for word in words)}"


def _polymod(values: list[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate(_GENERATOR):
            remainder ^= term * (top >> place & 1)
    return remainder
