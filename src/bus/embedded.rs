//! The embedded bus: durable queues on `fjall`, in this process.
