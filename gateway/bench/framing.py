"""The frame's end: the CRC of Modbus RTU, for the slaves' side.

Owns the simulated line's own CRC. Must never share code with the bus room's, so that both ends
cannot agree on a mistake. MODBUS over Serial Line V1.02, section 6.2.2.
"""

from typing import Final

POLYNOMIAL: Final = 0xA001


def crc(data: bytes) -> bytes:
    """The CRC of an RTU frame as it follows the data, low byte first."""
    register = 0xFFFF
    for byte in data:
        register = register >> 8 ^ _CRC_OF_BYTE[(register ^ byte) & 0xFF]
    return register.to_bytes(2, "little")


def framed(body: bytes) -> bytes:
    """Address and PDU with their CRC."""
    return body + crc(body)


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
    return byte


_CRC_OF_BYTE: Final = tuple(map(_crc_of_byte, range(256)))
