"""Images, maps and captions: datasets on disk and procedural scenes."""
