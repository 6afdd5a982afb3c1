"""The F1 that papers report for the systems of the MSVSE paper's comparison.

They were not measured on equal terms: labels, encoders and extractors of pictures differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """A published system.

    Attributes:
        name (str): Its name in the literature.
        architecture (str): The registered name of its method here.
        built (str): "faithful", "corrected" (a fault of the authors' code is removed) or
            "reconstructed" (without code of the authors).
        twitter2015 (float): F1 on Twitter-2015, in per cent.
        twitter2017 (float): F1 on Twitter-2017, in per cent.
    """

    name: str
    architecture: str
    built: str
    twitter2015: float
    twitter2017: float


_TEXT_CRF = "spacy-msvse.TextCrf.v1"

#: In the order of the pages.
SYSTEMS = (
    System("GloVe-BiLSTM-CRF", _TEXT_CRF, "faithful", 69.15, 79.37),
    System("BERT-CRF", _TEXT_CRF, "faithful", 71.81, 83.44),
    System("BERT-large-CRF", _TEXT_CRF, "faithful", 73.53, 86.81),
    System("XLMR-CRF", _TEXT_CRF, "faithful", 77.37, 89.39),
    System("MSB", "spacy-msvse.MSB.v1", "reconstructed", 73.47, 84.32),
    System("ITA", "spacy-msvse.ITA.v1", "faithful", 78.03, 89.75),
    System("PGIM", "spacy-msvse.PGIM.v1", "corrected", 79.33, 91.43),
    System("UMT", "spacy-msvse.UMT.v1", "corrected", 73.41, 85.31),
    System("MAF", "spacy-msvse.MAF.v1", "corrected", 73.42, 86.25),
    System("UMGF", "spacy-msvse.UMGF.v1", "corrected", 74.85, 85.51),
    System("UAMNer", "spacy-msvse.UAMNer.v1", "reconstructed", 73.10, 84.90),
    System("M3S", "spacy-msvse.M3sLike.v1", "reconstructed", 75.03, 86.06),
    System("SMVAE", "spacy-msvse.SMVAE.v1", "corrected", 75.07, 86.37),
    System("HvpNet", "spacy-msvse.HvpNet.v1", "corrected", 75.32, 86.87),
    System("MNER-QG", "spacy-msvse.MNERQG.v1", "reconstructed", 74.94, 87.25),
    System("R-GCN", "spacy-msvse.RGCN.v1", "corrected", 75.00, 87.11),
    System("MSVSE", "spacy-msvse.MSVSE.v1", "reconstructed", 75.11, 87.34),
)


def find_system(row: str, architectures: Iterator[str]) -> System | None:
    """The published system of a row.

    Args:
        row (str): The name of the row.
        architectures (Iterator[str]): The registered names of the methods of its pipeline.

    Returns:
        System: The system of this name; otherwise the only one of the row's methods; None if there
            is none.
    """
    named = [system for system in SYSTEMS if system.name == row]
    known = set(architectures)
    built = [system for system in SYSTEMS if system.architecture in known]
    found = named or built
    return found[0] if len(found) == 1 else None
