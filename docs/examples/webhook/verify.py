"""python3 verify.py ID TIMESTAMP SIGNATURES < BODY, with the secret in WEBHOOK_SECRET: what came is genuine."""

import base64
import hashlib
import hmac
import os
import sys
import time


def verify(secret: str, id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    if abs(time.time() - int(timestamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(expected).decode()
    return any(hmac.compare_digest(wanted, given) for given in signatures.split(" "))


if __name__ == "__main__":
    genuine = verify(os.environ["WEBHOOK_SECRET"], *sys.argv[1:4], sys.stdin.buffer.read())
    print("genuine" if genuine else "forged")
