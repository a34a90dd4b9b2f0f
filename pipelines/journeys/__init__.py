"""Who was there before: somebody who comes to one camera of a site and left another a moment ago.

Pure: looks of those who left live in `SiteJourneys` alone, for `within_s`, and nothing here can be saved.
"""
