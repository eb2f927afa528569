# SPDX-License-Identifier: Apache-2.0
"""Drafts of the TSU for `generate` of the package transformers: docs/how-to/transformers.md."""

from host.models.errors import require_packages

require_packages("host.hf", "torch", "transformers")
