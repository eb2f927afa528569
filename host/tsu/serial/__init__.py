# SPDX-License-Identifier: Apache-2.0
"""Backend `serial`: a TSU on a serial line, alone or shared. docs/reference/serial.md has the use."""
