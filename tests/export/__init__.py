"""Tests of medft.export."""
