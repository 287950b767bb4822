"""Release trees and values of our formats, fixed and random."""
