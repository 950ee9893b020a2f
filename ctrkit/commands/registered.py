"""Open the registry that the configuration means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.errors import ConfigError

if TYPE_CHECKING:
    from ctrkit.tracking.registry import Registry


def open_registry(config: DictConfig, *, may_create: bool = False) -> Registry:
    """The registry of the tracking store, made where there is none and it `may_create`.

    Raises `ConfigError` where tracking is off.
    """
    from ctrkit.tracking import locate
    from ctrkit.tracking.registry import Registry

    if not config.tracking.enabled:
        raise ConfigError("Models are registered in the tracking store, but tracking is off. Type: tracking=mlflow")
    return Registry(locate(config.tracking.uri, work_root=str(config.root)), may_create=may_create)
