"""Writes the vectors anew: python -m tests.vectors. Equal bytes come out in every run."""

from tests.vectors.book import FOLDER, files


def main() -> None:
    """Write every file, and take away what no vector holds any more."""
    made = files()
    documents = FOLDER / "documents"
    documents.mkdir(exist_ok=True)
    for left in documents.iterdir():
        if f"documents/{left.name}" not in made:
            left.unlink()
    for name, content in made.items():
        (FOLDER / name).write_bytes(content)
    print(f"{len(made)} files in {FOLDER}")


if __name__ == "__main__":
    main()
