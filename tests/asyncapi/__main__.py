"""Writes gateway/headend/asyncapi.yaml anew: python -m tests.asyncapi."""

from tests.asyncapi.document import FILE, text

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(FILE)
