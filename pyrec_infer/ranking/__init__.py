"""What a call that ranks candidates needs: a view of the model, the scores asked for, a plan."""

from pyrec_infer.ranking.ranking import Ranking, Way, call, warn_of_fixed_rows

__all__ = ["Ranking", "Way", "call", "warn_of_fixed_rows"]
