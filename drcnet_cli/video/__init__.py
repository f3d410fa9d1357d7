"""Videos restored frame by frame, with all else that their files hold copied as it is.

PyAV (FFmpeg), the extra `video`, reads and writes them; nothing here loads it before a video is
opened.
"""

from drcnet_cli.video.names import container_of, is_video_job, is_video_name, output_ending

__all__ = ["container_of", "is_video_job", "is_video_name", "output_ending"]
