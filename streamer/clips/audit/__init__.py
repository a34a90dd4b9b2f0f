"""An audit of counts by a person: which moments are asked about, their pictures, and what the answers say."""
