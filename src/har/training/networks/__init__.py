"""Networks: windows and their descriptors in, logits out.

Each file here that does not begin with an underscore is one network: it holds `NETWORK = <subclass of Network>`, and
its name is the file's (`deep_conv_lstm.py` is `deep-conv-lstm`). Nothing else registers it. A class outside of this
package is named `module:Class`; the module is found from the project's folder.
"""

from har.training._signal import Signal
from har.training.networks._configured import configured, own_values
from har.training.networks._network import Network, Optimisation, Scale
from har.training.networks._registry import find_network
from har.training.networks._source import network_source, network_sources
from har.training.networks._space import Choice, Range

__all__ = [
    "Choice",
    "Network",
    "Optimisation",
    "Range",
    "Scale",
    "Signal",
    "configured",
    "find_network",
    "network_source",
    "network_sources",
    "own_values",
]
