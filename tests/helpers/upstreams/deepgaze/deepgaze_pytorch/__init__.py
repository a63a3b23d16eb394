from .deepgazemsdb import DeepGazeMSDB
from .modules import DeepGazeIIE

__all__ = ["DeepGazeIIE", "DeepGazeMSDB"]
