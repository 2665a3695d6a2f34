//! The production bus: RabbitMQ by `lapin`.
