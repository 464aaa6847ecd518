"""Joins results that hold tokens with NIKs that you know: join.py KEY_FILE NIK_FILE < RESULTS"""
import base64, hmac, json, sys

def token(key_id, key, nik):
    digest = hmac.digest(bytes.fromhex(key), nik.encode(), "sha256")[:16]
    return f"t{key_id}_{base64.b32encode(digest).decode().lower().rstrip('=')}"

if __name__ == "__main__":
    keys = [line.split() for line in open(sys.argv[1])]  # any key of the file may have written a result
    niks = {token(*key, nik): nik for nik in open(sys.argv[2]).read().split() for key in keys}
    for result in sys.stdin:
        for name, verdict in json.loads(result)["data"].items():  # of limited or full
            print(niks.get(name, name), json.dumps(verdict), sep="\t")
